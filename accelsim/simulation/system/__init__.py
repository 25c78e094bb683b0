"""The system around the PE arrays, as processes in time (SimPy): the only importer of simpy.

    work      what one input asks of a chip, layer by layer, from a `Result`
    stages    which layers run on which chip, and for how long
    units     what does one thing at a time: array, DRAM channel, link; tokens and queues
    chip      a chip: layer sequencer and DMA
    host      where requests come from and go to
    model     all of it wired together, run, and what was counted
    result    tables of a run

Time is a whole number of picoseconds. Events happen when something begins or ends, never per cycle.
"""
