"""MD5s of several messages at once, in the lanes of a processor's vectors.

Each of MD5's steps waits for the one before it, so that one message keeps a core mostly waiting; eight take hardly
longer than one. hashlib has nothing of the kind, so LLVM makes it for the processor at hand, where llvmlite is
installed. The steps are those of RFC 1321, section 3.4.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import struct
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa

try:
    from llvmlite import binding as llvm
    from llvmlite import ir
except ImportError:
    # An optional extra: it comes for most platforms, but not for all.
    llvm = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

LANES = 8 if llvm is not None else 1
"""How many messages are taken at once; 1 where llvmlite is not installed."""

_BLOCK_BYTES = 64
_WORDS = 16
_STATE = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
# Which word of a block each step of a round takes: `(factor * step + first) % 16`.
_ORDERS = ((1, 0), (5, 1), (3, 5), (7, 0))
# Its table: "the integer part of 4294967296 times abs(sin(i)), where i is in radians".
_SINES = [int(abs(math.sin(step + 1)) * 2**32) for step in range(4 * _WORDS)]
_compiling = threading.Lock()
_compiled: list[Any] = []


def md5_of_each(messages: Sequence[Sequence[bytes | memoryview]]) -> list[bytes]:
    """The MD5 of each message, which may come in pieces; quickest where messages are of one length. Lets others run."""
    if LANES == 1 or len(messages) == 1:
        return [_md5(pieces) for pieces in messages]
    function = _function()
    return [
        digest
        for start in range(0, len(messages), LANES)
        for digest in _md5_in_lanes(function, messages[start : start + LANES])
    ]


def _md5(pieces: Sequence[bytes | memoryview]) -> bytes:
    found = hashlib.md5(usedforsecurity=False)
    for piece in pieces:
        found.update(piece)
    return found.digest()


def _md5_in_lanes(function: Callable[..., None], messages: Sequence[Sequence[bytes | memoryview]]) -> list[bytes]:
    """Of up to `LANES` messages: each call takes as many blocks as all of them have at hand."""
    states = (ctypes.c_uint32 * (4 * LANES))(*(word for word in _STATE for _ in range(LANES)))
    runs = [_runs(pieces) for pieces in messages]
    at_hand = {lane: next(of_lane) for lane, of_lane in enumerate(runs)}
    digests = [b""] * len(messages)
    while at_hand:
        blocks = min(len(run) // _BLOCK_BYTES for run in at_hand.values())
        # Lanes that have nothing take in what another one does; nobody asks for their digest again.
        spare = next(iter(at_hand.values())).address
        places = (at_hand[lane].address if lane in at_hand else spare for lane in range(LANES))
        function(states, (ctypes.c_void_p * LANES)(*places), blocks)
        for lane, run in list(at_hand.items()):
            rest = run.slice(blocks * _BLOCK_BYTES) if len(run) > blocks * _BLOCK_BYTES else next(runs[lane], None)
            if rest is None:
                digests[lane] = struct.pack("<4I", *states[lane::LANES])
                del at_hand[lane]
            else:
                at_hand[lane] = rest
    return digests


def _runs(pieces: Sequence[bytes | memoryview]) -> Iterator[pa.Buffer]:
    """The blocks of a message, as they lie in memory; only those that pieces share, and the padding, are copied."""
    length, begun = 0, b""
    for piece in pieces:
        view = memoryview(piece)
        length += len(view)
        if begun:
            missing = _BLOCK_BYTES - len(begun)
            begun, view = begun + view[:missing], view[missing:]
            if len(begun) < _BLOCK_BYTES:
                continue
            yield pa.py_buffer(begun)
        whole = len(view) // _BLOCK_BYTES * _BLOCK_BYTES
        begun = bytes(view[whole:])
        if whole:
            yield pa.py_buffer(view[:whole])
    # "A single '1' bit is appended to the message, and then '0' bits", and "a 64-bit representation of b".
    zeros = bytes(-(len(begun) + 9) % _BLOCK_BYTES)
    yield pa.py_buffer(begun + b"\x80" + zeros + struct.pack("<Q", 8 * length % 2**64))


def _function() -> Callable[..., None]:
    """The compiled function: it takes states, the addresses of the lanes' blocks, and how many blocks."""
    with _compiling:
        if not _compiled:
            llvm.initialize_native_target()
            llvm.initialize_native_asmprinter()
            features = llvm.get_host_cpu_features()
            # The name alone may promise what a virtual machine does not let through.
            machine = llvm.Target.from_default_triple().create_target_machine(
                cpu=llvm.get_host_cpu_name() if features else "", features=features.flatten(), opt=3
            )
            module = llvm.parse_assembly(str(_module()))
            builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
            builder.getModulePassManager().run(module, builder)
            engine = llvm.create_mcjit_compiler(module, machine)
            engine.finalize_object()
            prototype = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
            # The code lives as long as its engine.
            _compiled.extend((prototype(engine.get_function_address("md5")), engine))
    function: Callable[..., None] = _compiled[0]
    return function


def _module() -> Any:
    """`md5(states, addresses, blocks)`, of one block or more; `states` are the lanes' A, then their B, C and D."""
    word, count = ir.IntType(32), ir.IntType(64)
    vector = ir.VectorType(word, LANES)
    module = ir.Module()
    arguments = (vector.as_pointer(), word.as_pointer().as_pointer(), count)
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), arguments), "md5")
    rotate = ir.Function(module, ir.FunctionType(vector, (vector,) * 3), f"llvm.fshl.v{LANES}i32")
    states, addresses, blocks = function.args
    entry, loop, end = (function.append_basic_block(name) for name in ("entry", "loop", "end"))

    build = ir.IRBuilder(entry)
    lanes = [build.load(build.gep(addresses, [word(lane)])) for lane in range(LANES)]
    places = [build.gep(states, [word(number)]) for number in range(4)]
    first = [build.load(place, align=4) for place in places]
    build.branch(loop)

    build.position_at_end(loop)
    block = build.phi(count)
    before = [build.phi(vector) for _ in first]
    offset = build.mul(block, count(_WORDS))
    words = [
        column
        for start in range(0, _WORDS, LANES)
        for column in _transposed(
            build,
            [
                build.load(
                    build.bitcast(build.gep(lane, [build.add(offset, count(start))]), vector.as_pointer()), align=1
                )
                for lane in lanes
            ],
        )
    ]
    a, b, c, d = before
    for step, sine in enumerate(_SINES):
        number = step // _WORDS
        factor, least = _ORDERS[number]
        mixed = _mixed(build, number, b, c, d)
        taken = build.add(words[(factor * step + least) % _WORDS], _same(vector, sine))
        total = build.add(mixed, build.add(a, taken))
        turned = build.call(rotate, (total, total, _same(vector, _SHIFTS[number][step % 4])))
        a, b, c, d = d, build.add(b, turned), b, c
    after = [build.add(old, new) for old, new in zip(before, (a, b, c, d), strict=True)]
    following = build.add(block, count(1))
    for value, begun, goes_on in zip((block, *before), (count(0), *first), (following, *after), strict=True):
        value.add_incoming(begun, entry)
        value.add_incoming(goes_on, loop)
    build.cbranch(build.icmp_unsigned("<", following, blocks), loop, end)

    build.position_at_end(end)
    for place, state in zip(places, after, strict=True):
        build.store(state, place, align=4)
    build.ret_void()
    return module


def _mixed(build: Any, number: int, b: Any, c: Any, d: Any) -> Any:
    """What RFC 1321 calls F, G, H and I: of F and G a form that takes one step less."""
    if number == 0:
        return build.xor(d, build.and_(b, build.xor(c, d)))
    if number == 1:
        return build.xor(c, build.and_(d, build.xor(b, c)))
    if number == 2:  # noqa: PLR2004 - the third of four
        return build.xor(b, build.xor(c, d))
    return build.xor(c, build.or_(b, build.not_(d)))


def _same(vector: Any, value: int) -> Any:
    return ir.Constant(vector, [ir.Constant(vector.element, value)] * LANES)


def _transposed(build: Any, rows: list[Any]) -> list[Any]:
    """Columns of a square of vectors: the perfect shuffle of its two halves, as often as its side can be halved."""
    half = LANES // 2
    for _ in range(LANES.bit_length() - 1):
        rows = [
            build.shuffle_vector(upper, lower, ir.Constant(ir.VectorType(ir.IntType(32), LANES), places))
            for upper, lower in zip(rows[:half], rows[half:], strict=True)
            for places in (_riffled(0, half), _riffled(half, LANES))
        ]
    return rows


def _riffled(start: int, stop: int) -> list[Any]:
    return [ir.IntType(32)(place) for number in range(start, stop) for place in (number, LANES + number)]
