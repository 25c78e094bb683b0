"""Closed forms of queueing theory that the system model is checked against."""

import math


def md1_wait(load: float, service: float) -> float:
    """Mean wait in an M/D/1 queue, in the unit of `service`; infinite from a load of 1.

    Poisson arrivals, one server, constant service: load service / (2 (1 - load)), the
    Pollaczek-Khinchine formula without variance of service (Kleinrock, Queueing Systems I, 1975).
    load: rate of arrivals times service.
    """
    return load * service / (2.0 * (1.0 - load)) if load < 1.0 else math.inf


def tandem_latency(load: float, services: list[float]) -> float:
    """Mean latency of a row of servers, each with its own constant service, fed by Poisson arrivals.

    A customer leaves at max(arrival + sum of services, departure before + largest service): all
    waiting together is that of an M/D/1 queue with the largest service, wherever it takes place
    (Friedman, Reduction methods for tandem queuing systems, Operations Research 13, 1965).
    load: rate of arrivals times the largest service.
    """
    return sum(services) + md1_wait(load, max(services))
