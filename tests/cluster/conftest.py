"""Two nodes of a real Ray cluster on this machine, for the tests that need one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.ports import reserve_port
from tests.support.processes import asked, wait_until
from tests.support.ray import START_SECONDS, VARIABLES, add_node, be_patient


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes, of which the first is the head."""
    import ray
    from ray import serve
    from ray.cluster_utils import Cluster

    patched = pytest.MonkeyPatch()
    for name, value in VARIABLES.items():
        patched.setenv(name, value)
    patched.setenv("LOSSMETER_AUTH", "off")
    patched.setenv("LOSSMETER_STORE_URL", f"sqlite:///{tmp_path_factory.mktemp('store') / 'runs.db'}")
    patched.setenv("OMP_NUM_THREADS", "1")
    be_patient()
    cluster = Cluster()
    try:
        add_node(cluster, **NODE)
        add_node(cluster, **NODE)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        if ray.is_initialized():  # otherwise Serve would start Ray to end it
            serve.shutdown()
        ray.shutdown()
        cluster.shutdown()
        patched.undo()


NODE = {"num_cpus": 1, "object_store_memory": 100_000_000}


@pytest.fixture
def second(cluster: Any) -> Callable[[], Any]:
    """The node that is not the head: another one, if the one before has been lost."""
    return lambda: next(iter(cluster.worker_nodes), None) or add_node(cluster, **NODE)


@pytest.fixture
def dashboard(cluster: Any) -> Iterator[str]:
    """The address of the cluster's dashboard: a dozen processes, so that they run only for who asks for them."""
    head = cluster.head_node
    head.kill_dashboard()  # one that serves nobody
    with reserve_port() as reserved:
        head._ray_params.dashboard_port = reserved.getsockname()[1]
        head.start_api_server(include_dashboard=True, raise_on_failure=True)
        url = f"http://127.0.0.1:{head._ray_params.dashboard_port}"
        wait_until(lambda: asked(url, "/api/ray/version")[0] == 200, "the dashboard serves", START_SECONDS)
    yield url
    head.kill_dashboard()


@pytest.fixture
def serve_ended(cluster: Any) -> Iterator[None]:
    """Ends Ray Serve after a test, so that the next one starts its own."""
    from ray import serve

    yield
    serve.shutdown()
