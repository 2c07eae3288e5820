"""All rules in reading order. A new rule is one file here that ends in `RULE = Rule(...)`, its test, and one line in this list."""

from service.domain.rule import Rule
from service.domain.rules import (
    alert_is_firing,
    automation_has_room,
    caches_stay_coherent,
    configuration_is_as_it_was,
    deploy_caused_the_alert,
    goal_images_exist,
    goal_release_is_exact_and_was_healthy,
    hold_is_as_we_left_it,
    limits_allow_acting,
    no_rollout_step_is_in_the_way,
    no_sync_window_is_in_the_way,
    nobody_else_is_acting,
    own_pipeline_is_safe_to_start,
    permissions_suffice,
    policy_can_be_applied,
    prune_deletes_no_data,
    recovery_can_be_measured,
    regions_go_one_by_one,
    release_differs_where_the_bad_one_did,
    rollback_will_stay,
    schema_is_compatible,
    server_group_can_take_over,
    shared_services_are_untouched,
)

RULES: tuple[Rule, ...] = (
    deploy_caused_the_alert.RULE,
    alert_is_firing.RULE,
    goal_release_is_exact_and_was_healthy.RULE,
    release_differs_where_the_bad_one_did.RULE,
    goal_images_exist.RULE,
    nobody_else_is_acting.RULE,
    rollback_will_stay.RULE,
    hold_is_as_we_left_it.RULE,
    no_sync_window_is_in_the_way.RULE,
    no_rollout_step_is_in_the_way.RULE,
    server_group_can_take_over.RULE,
    regions_go_one_by_one.RULE,
    own_pipeline_is_safe_to_start.RULE,
    permissions_suffice.RULE,
    prune_deletes_no_data.RULE,
    configuration_is_as_it_was.RULE,
    limits_allow_acting.RULE,
    automation_has_room.RULE,
    recovery_can_be_measured.RULE,
    schema_is_compatible.RULE,
    shared_services_are_untouched.RULE,
    caches_stay_coherent.RULE,
    policy_can_be_applied.RULE,
)
"""In the order in which a person reads them: cause, goal, who else acts, whether it can be done, our limits, then state that both releases share.

Some ask only about going back, some only about going forward under a hold; each says so itself.
"""
