from service.cli.reports import as_document
from tests.unit.service.cli.reports.made import BLOCK, WAIVED, report


def test_the_document_has_all_of_it() -> None:
    document = as_document(report(BLOCK, WAIVED))
    assert (document["verdict"], document["from"], document["exit_code"], document["harmless"]) == ("block", "main", 3, 2)
    assert document["findings"][0]["do"] == "Later."
    assert [one["waived"] for one in document["findings"]] == [None, "unused | since 2.3"]
    assert document["not_decided"] == ["goal_images_exist"]
