"""The command lines that a person could type instead of us, quoted for a shell: `curl` against Gate, failing on an error and never following a redirect (D11).

They name no credential: `$GATE_AUTH` is a header such as `X-Spinnaker-Token: …` that the person sets. An empty answer is no success, so it fails too.
"""

import json
import shlex
from urllib.parse import quote

from integrations.delivery.spinnaker.kubernetes_history import ManifestAddress
from integrations.delivery.spinnaker.names import Address
from service.domain.model import Json


def post(url: str, path: str, body: Json) -> str:
    """A POST of JSON; `grep` fails on a login page and on nothing."""
    return f'{_curl(url, path)} -H "Content-Type: application/json" -d {shlex.quote(json.dumps(body))} | grep -F \'"ref"\''


def get(url: str, path: str) -> str:
    """A GET; `grep` fails on a login page and on nothing."""
    return f"{_curl(url, path)} | grep -F '{{'"


def cancel_run(url: str) -> str:
    """Ends a run and shows it, for the 200 of a cancel says nothing. The person sets `$RUN`, the id that the step names; without it the shell refuses."""
    run = '"${RUN:?set it to the id of the run}"'
    at = _curl(url, "/pipelines/")
    return f"{at}{run}{shlex.quote('/cancel?reason=by+hand&force=false')} -X PUT && {at}{run} | grep -F '{{'"


def start_path(application: str, pipeline: str) -> str:
    """Where a saved pipeline is started, by its id."""
    return f"/pipelines/{quote(application, safe='')}/{quote(pipeline, safe='')}"


def configs_path(application: str) -> str:
    """Where Gate shows the saved pipelines. They are changed in Deck: Gate saves a whole text, and a shell would overwrite what somebody saved meanwhile."""
    return f"/applications/{quote(application, safe='')}/pipelineConfigs"


def live_path(application: str, address: Address) -> str:
    """Where Gate shows what is live: the manifest, or the server groups of the cluster."""
    if isinstance(address, ManifestAddress):
        return "/".join(("/manifests", *(quote(one, safe="") for one in (address.account, address.location, address.spoken))))
    query = quote(f"{address.account}:{address.cluster}", safe=":")
    return f"/applications/{quote(application, safe='')}/serverGroups?expand=true&clusters={query}"


def _curl(url: str, path: str) -> str:
    return f'curl -sS --fail --max-redirs 0 -H "$GATE_AUTH" -H "Accept: application/json" {shlex.quote(url + path)}'
