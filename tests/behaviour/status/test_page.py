# SPDX-License-Identifier: MIT OR Apache-2.0
"""The forms of the status: a page, JSON and OpenMetrics, and who gets which."""

import html.parser
import json

import pytest
from prometheus_client.openmetrics import parser as prometheus

METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
WARM = ("/app/hello", "/own/hello", "/gangway")


def configure(site, kind):
    site.status("/gangway")
    site.wsgi("/app", "pep3333:app", threads=4)
    site.wsgi("/own", "pep3333:app", processes=2, threads=2, name='a"b<c')


def kind_of(server, path, accept=None):
    response = server.get(path, headers=[("Accept", accept)] if accept else [])
    assert response.status == 200
    return response.header("Content-Type")


@pytest.mark.parametrize(
    "path, accept, form",
    [
        ("/gangway", None, "text/html; charset=utf-8"),
        ("/gangway", "text/html,application/xhtml+xml,*/*;q=0.8", "text/html; charset=utf-8"),
        ("/gangway", "application/json", "application/json"),
        ("/gangway", "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.3,*/*;q=0.1", METRICS),
        ("/gangway?json", "text/html", "application/json"),
        ("/gangway?metrics", None, METRICS),
        ("/gangway/json", None, "application/json"),
        ("/gangway/metrics", None, METRICS),
    ],
)
def test_the_form_is_what_is_asked_for(server, path, accept, form):
    assert kind_of(server, path, accept) == form


def test_nothing_keeps_it_and_it_loads_nothing(server):
    response = server.get("/gangway")
    assert response.header("Cache-Control") == "no-store"
    assert response.header("X-Content-Type-Options") == "nosniff"
    assert "default-src 'none'" in response.header("Content-Security-Policy")


def test_other_methods_are_refused_and_head_has_no_body(server):
    for method in ("POST", "PUT", "DELETE"):
        response = server.request(method, "/gangway", body=b"x" if method != "DELETE" else None)
        assert response.status == 405, method
        assert "GET" in response.header("Allow") and "HEAD" in response.header("Allow")
    response = server.request("HEAD", "/gangway")
    assert (response.status, response.body) == (200, b"")


def test_the_metrics_are_openmetrics(server):
    server.get("/app/hello")
    text = server.get("/gangway?metrics").text
    assert text.endswith("# EOF\n")
    families = {family.name: family for family in prometheus.text_string_to_metric_families(text)}
    answered = {
        sample.labels["code"]: sample.value
        for sample in families["gangway_requests"].samples
        if sample.labels["kind"] == "in_process"
    }
    assert answered["2xx"] >= 1 and answered["500"] == 0
    durations = families["gangway_request_duration_seconds"]
    assert (durations.type, durations.unit) == ("histogram", "seconds")
    names = {sample.labels["app"] for sample in families["gangway_processes"].samples}
    assert names == {"pep3333:app", 'a"b<c'}
    ready = [s.value for s in families["gangway_processes"].samples if s.labels["kind"] == "managed" and s.labels["state"] == "ready"]
    assert ready == [2]
    labels = {label for family in families.values() for sample in family.samples for label in sample.labels}
    assert labels <= {"app", "kind", "code", "le", "state", "phase", "reason", "outcome", "version", "server"}


class Page(html.parser.HTMLParser):
    """What stands in a page, and whether its elements end where they should."""

    EMPTY = {"meta", "rect", "i"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def test_the_page_is_well_formed_and_has_no_scripts(server):
    server.get("/app/hello")
    text = server.get("/gangway").text
    page = Page(text)
    assert page.open == [] and not page.tags & {"script", "img", "link", "iframe"}
    assert {'a"b<c', "pep3333:app", "serving"} <= set(page.words)
    assert "a&quot;b&lt;c" in text


def test_the_processes_are_those_that_run(server):
    applications = json.loads(server.get("/gangway?json").body)["applications"]
    own = next(app for app in applications if app["kind"] == "managed")
    # The one that they were forked from answers no requests.
    assert {process["pid"] for process in own["processes"]} < set(server.managed())
    assert len(own["processes"]) == 2
    assert own["state"] == "serving" and own["generation"] >= 1
    assert all(process["pss_bytes"] > 0 and process["age_seconds"] >= 0 for process in own["processes"])
    here = next(app for app in applications if app["kind"] == "in_process")
    assert {process["pid"] for process in here["processes"]} <= set(server.workers())
