"""The reference workload and its drills: a small real system, and real faults in it.

What belongs here: the processes of the workload, the injectors (which change the workload and nothing else) and the
drills that watch Grace heal. What never does: anything of Grace that a fault or a reading could be derived from.
"""
