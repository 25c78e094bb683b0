"""The same systems again, as short recurrences over requests and layers: slow, obvious, no events."""

import heapq


def servers_in_parallel(arrivals, service, servers):
    """(start, end) per request: first come, first served by the server that is free first."""
    free = [0] * servers
    times = []
    for arrival in arrivals:
        start = max(arrival, heapq.heappop(free))
        times.append((start, start + service))
        heapq.heappush(free, start + service)
    return times


def servers_in_a_row(arrivals, services):
    """End per request: each server begins when the request is there and it is free."""
    free = [0] * len(services)
    ends = []
    for arrival in arrivals:
        now = arrival
        for number, service in enumerate(services):
            now = free[number] = max(now, free[number]) + service
        ends.append(now)
    return ends


def one_server_in_batches(arrivals, service, size, timeout):
    """(start, end, size) per batch."""
    batches, free, first = [], 0, 0
    while first < len(arrivals):
        full = arrivals[first + size - 1] if first + size <= len(arrivals) else float("inf")
        start = max(free, min(full, arrivals[first] + timeout))
        count = 1
        while count < size and first + count < len(arrivals) and arrivals[first + count] <= start:
            count += 1
        free = start + service * count
        batches.append((start, free, count))
        first += count
    return batches


def double_buffered(layers, batches):
    """Ends of batches that all wait from the start; layers: (computing, fetching) times.

    A fetch begins when the one before it is through and the layer but one before has computed: its
    buffer is free. A layer computes when its weights are there and the layer before it is through.
    """
    computed = fetched = 0
    freed = [0, 0]  # when the two buffers are free, the one for the next fetch first
    ends = []
    for _ in range(batches):
        for computing, fetching in layers:
            if fetching:
                fetched = max(fetched, freed.pop(0)) + fetching
                computed = max(computed, fetched)
            computed += computing
            if fetching:
                freed.append(computed)
        ends.append(computed)
    return ends
