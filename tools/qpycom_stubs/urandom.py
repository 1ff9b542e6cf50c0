# python.quectel.com API reference: urandom. The host's generator, seeded with world.seed so that runs can be repeated.
from random import choice, getrandbits, randint, random, randrange, seed, uniform  # noqa: F401

from qpycom_stubs import _world

seed(_world.seed)
