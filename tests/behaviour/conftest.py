# SPDX-License-Identifier: MIT OR Apache-2.0
"""Which servers a test meets, and the checks that follow every test."""

import signal

import pytest

from harness import places, processes
from harness.gate import Gate
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
    """A test that names no chosen server is not collected at all, and a server is shared by one process alone."""
    kept, dropped = [], []
    for item in items:
        kind = getattr(item, "callspec", None) and item.callspec.params.get("kind")
        if kind is pytest.param or (kind is not None and not isinstance(kind, str)):
            dropped.append(item)
            continue
        item.add_marker(pytest.mark.xdist_group(f"{item.module.__name__}:{kind}"))
        kept.append(item)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


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
    site = Site(apps=workspace.apps)
    configure = request.module.configure
    configure(site, kind)
    running = KINDS[kind](workspace, site).start()
    running.warm(*getattr(request.module, "WARM", ()))
    yield running
    running.finish()


@pytest.fixture
def server(shared_server):
    """The module's server, checked after each test."""
    shared_server.log.mark()
    yield shared_server
    shared_server.verify()


@pytest.fixture
def launch(kind, workspace):
    """Starts servers of a test's own: `launch(configure)`, where `configure(site)` fills a Site."""
    started = []

    def start(configure, *, warm=()):
        running = prepare(configure)
        running.start()
        started.append(running)
        running.warm(*warm)
        return running

    def prepare(configure):
        site = Site(apps=workspace.apps)
        configure(site)
        return KINDS[kind](workspace, site)

    start.prepare = prepare
    yield start
    problems = []
    for running in started:
        try:
            running.finish()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def configtest(kind, workspace):
    """Runs the server's configuration test on what `configure(site)` describes."""

    def run(configure):
        site = Site(apps=workspace.apps)
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
