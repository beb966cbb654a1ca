"""Workers: the processes of this machine that run a study's trials.

``running`` says how many there are and watches them through the ``launcher``, which takes ``processes`` from the
``nursery``. Each is a ``worker_process`` with the ``worker`` for its kind of objective.
"""
