"""Injects faults into a stack of its own by a seeded schedule, and judges what was promised."""
