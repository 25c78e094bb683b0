"""What else could run a network: published times, and this computer's CPU, measured."""
