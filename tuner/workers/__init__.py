"""Workers: the processes of this machine that run a study's trials.

``running`` says how many there are and watches them through the ``launcher``, which takes ``processes`` from the
``nursery``. Each is a ``worker_process``: in a ``conversation`` it is told to work on a study, with the ``worker`` of
its kind of objective, or, before there is a study, to go on one of the ``errands``. Its last word is its ``departure``.
"""
