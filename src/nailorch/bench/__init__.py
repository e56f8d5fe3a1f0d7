"""Benchmarks: nailorch beside other frameworks on the same work, machine, threads and numbers, in one run.

    workloads   what is computed: networks and single layers, their sizes, multiply-adds and random numbers
    ours  pytorch  runtimes    who computes it: each prepares a workload and gives a call to be timed
    worker      one participant in a process of its own
    contest     rounds: everyone is checked against ours, then measured in turn
    limits      what this machine could do at best: multiply-adds and bytes a second
    machine  statistics  report    what it was measured on, medians and spread, JSON
    ladder      one convolution in many implementations, from seven loops up
"""
