"""A Ray cluster of nodes with one core each, as processes of this machine.

    python -m tests.tuner.workers.ray_nodes NODES

Prints the cluster's address. A line on its input takes a node away, as if its machine had lost power; the end of its
input ends the cluster.
"""

from __future__ import annotations

import sys

from ray.cluster_utils import Cluster

MEMORY = 80 * 2**20
"""Of a node's object store, which nothing here uses: the least that Ray accepts is a little less."""


def main() -> None:
    """Run the cluster until the input ends."""
    cluster = Cluster()
    nodes = [cluster.add_node(num_cpus=1, object_store_memory=MEMORY) for _ in range(int(sys.argv[1]))]
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    for _ in sys.stdin:
        cluster.remove_node(nodes.pop(), allow_graceful=False)
        print("gone", flush=True)
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
