# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which servers a test meets, and the checks that follow every test."""

import signal

import pytest

from harness import places, processes
from harness.deadline import wait_until
from harness.gate import Gate
from harness.gateway import PROTOCOLS
from harness.server import DEFAULT_KINDS, KINDS
from harness.site import Site

TEST_LIMIT = 180


def pytest_addoption(parser):
    parser.addoption(
        "--server",
        action="append",
        default=[],
        help="only these servers (nginx, nginx128, apache with its MPMs), comma-separated or repeated",
    )
    parser.addoption(
        "--managed",
        action="store_true",
        help="run the applications of gangway_wsgi in processes of their own",
    )
    parser.addoption(
        "--upstream",
        choices=("gangway", "stock"),
        default="gangway",
        help="who speaks to FastCGI, SCGI and uwsgi backends: Gangway, or the server's own modules, which shows that an"
        " expectation is the field's; tests marked `better` must then fail",
    )


    parser.addoption(
        "--host",
        action="store_true",
        help="WSGI applications run in gangway-host behind gangway_pass and not in the server",
    )
    parser.addoption(
        "--error-level",
        choices=("info", "debug"),
        help="what the servers write to their error logs: debug is nginx's level of that name and httpd's trace8;"
        " without it Debian's nginx has debug, where it looks into every event, and the others info",
    )


def pytest_configure(config):
    chosen = {kind for word in config.getoption("--server") for kind in word.split(",") if kind}
    unknown = chosen - set(DEFAULT_KINDS) - set(KINDS)
    if unknown:
        raise pytest.UsageError(f"--server={','.join(sorted(unknown))}: choose from {', '.join(DEFAULT_KINDS)}")
    config.chosen_servers = chosen or set(DEFAULT_KINDS)
    for kind in config.chosen_servers:
        if not KINDS[kind].binary.exists():
            raise pytest.UsageError(
                f"{kind}: {KINDS[kind].binary} is missing; `make setup` provides it, --server= narrows"
            )


def chosen_kinds(config, kinds):
    chosen = config.chosen_servers
    return [kind for kind in kinds if kind in chosen or kind.partition("-")[0] in chosen]


def pytest_generate_tests(metafunc):
    if "kind" not in metafunc.fixturenames:
        return
    marker = metafunc.definition.get_closest_marker("servers")
    kinds = marker.args if marker else DEFAULT_KINDS
    metafunc.parametrize("kind", chosen_kinds(metafunc.config, kinds), scope="module")


def pytest_collection_modifyitems(config, items):
    """A test that names no chosen server is not collected at all, and a server is shared by one process alone. Tests that start their
    own go one by one to whoever is free: some of them wait for long."""
    kept, dropped = [], []
    for item in items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("kind")
        if kind is pytest.param or (kind is not None and not isinstance(kind, str)):
            dropped.append(item)
            continue
        if config.getoption("--upstream") == "stock" and not on_stock(item, kind):
            dropped.append(item)
            continue
        if reason := elsewhere(item, kind):
            item.add_marker(pytest.mark.skip(reason=reason))
        own = "" if "shared_server" in item.fixturenames else f":{item.originalname}"
        item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}:{kind}{own}"))
        kept.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def elsewhere(item, kind):
    """Why the test does not run where applications do not run in the server's own processes, if it does not."""
    names = []
    if item.config.getoption("--managed"):
        names = ["in_process"]
    elif item.config.getoption("--host"):
        names = ["in_process", "not_behind_pass"]
    for name in names:
        for marker in item.iter_markers(name):
            on = marker.kwargs.get("on", "")
            if kind is None or kind.startswith(on):
                return marker.args[0]
    return None


def on_stock(item, kind):
    """Only the tests of upstreams run on the stock modules; where those are known to differ they must."""
    if item.path.parent.name != "upstream":
        return False
    for marker in item.iter_markers("better"):
        on = marker.kwargs.get("on", ("nginx", "apache"))
        wanted = marker.kwargs.get("when", {})
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if kind and kind.startswith(tuple(on)) and all(params.get(k) in v for k, v in wanted.items()):
            reason = marker.args[0]
            if marker.kwargs.get("absent"):
                return False
            item.add_marker(pytest.mark.xfail(reason=reason, strict=marker.kwargs.get("strict", True)))
    return True


def must_differ(item):
    """Whether the test runs on stock modules that are known to fail it: what they log then is not looked at."""
    return item.config.getoption("--upstream") == "stock" and item.get_closest_marker("xfail") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """No test hangs: after TEST_LIMIT seconds it fails with the place where it was."""

    def expired(number, frame):
        raise TimeoutError(f"{item.name} took longer than {TEST_LIMIT}s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_LIMIT)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def workspace():
    processes.adopt_orphans()
    created = places.Workspace()
    yield created
    created.remove()


@pytest.fixture(scope="module")
def shared_server(request, kind, workspace):
    """The server of a module: its function `configure(site, kind)` says what is served."""
    site = new_site(request, workspace, kind)
    configure = request.module.configure
    try:
        configure(site, kind)
        running = KINDS[kind](workspace, site).start()
        running.warm(*getattr(request.module, "WARM", ()))
        yield running
        running.finish()
    finally:
        site.close()


def new_site(request, workspace, kind):
    upstream = request.config.getoption("--upstream")
    return Site(
        apps=workspace.apps,
        upstream=upstream,
        managed=request.config.getoption("--managed"),
        host=request.config.getoption("--host"),
        modules=upstream != "stock",
        # And the one that requests for a process share.
        kept_connections=40 if request.config.getoption("--managed") else 32,
        scratch=workspace.folder("sockets"),
        error_level=request.config.getoption("--error-level") or ("debug" if kind == "nginx" else "info"),
    )


@pytest.fixture
def server(request, shared_server):
    """The module's server, checked after each test."""
    shared_server.log.mark()
    if request.config.getoption("--host"):
        # nginx's own way of taking a response faster than its client does.
        shared_server.log.allow("an upstream response is buffered to a temporary file")
    yield shared_server
    if must_differ(request.node):
        shared_server.log.mark()
    shared_server.verify()


@pytest.fixture
def launch(request, kind, workspace):
    """Starts servers of a test's own: `launch(configure)`, where `configure(site)` fills a Site."""
    started = []
    sites = []

    def start(configure, *, warm=()):
        running = prepare(configure)
        running.start()
        started.append(running)
        running.warm(*warm)
        return running

    def prepare(configure):
        site = new_site(request, workspace, kind)
        sites.append(site)
        configure(site)
        return KINDS[kind](workspace, site)

    start.prepare = prepare
    yield start
    problems = []
    for running in started:
        if must_differ(request.node):
            running.log.mark()
        try:
            running.finish()
        except AssertionError as error:
            problems.append(str(error))
    for site in sites:
        site.close()
    assert not problems, "\n".join(problems)


@pytest.fixture
def configtest(request, kind, workspace):
    """Runs the server's configuration test on what `configure(site)` describes."""

    def run(configure):
        site = new_site(request, workspace, kind)
        request.addfinalizer(site.close)
        configure(site)
        return KINDS[kind](workspace, site).configtest()

    return run


@pytest.fixture
def scratch(workspace):
    """A folder that workers may write to."""
    return workspace.folder("scratch")


@pytest.fixture
def gate(scratch):
    """A meeting point of test and application."""
    created = Gate(scratch)
    yield created
    created.close()


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    """A gateway protocol; its recorder has the same name."""
    return request.param


@pytest.fixture
def backend(server, protocol):
    """The recorder of `protocol`; what a test leaves open is closed before the server is checked."""
    recorder = server.site.backends[protocol]
    recorder.reset()
    yield recorder
    recorder.reset()
    if server.kind.startswith("nginx") and recorder.port and server.running():
        # The worker sees that its idle connections were closed before the next test meets it.
        wait_until(lambda: not processes.established({recorder.port}), "connections to the backend are closed")
