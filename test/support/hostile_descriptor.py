"""Sends a descriptor whose close(2) waits, and goes: hostile_descriptor.py KIND SOCKET HELLO-IN-HEX PLACE DIRECTORY

KIND is fuse (a file whose server, this script, falls silent) or linger (TCP with SO_LINGER and unsent bytes). PLACE is
which of a command's six descriptors it stands for. Says the answer, then waits to be killed.
"""
import ctypes
import os
import socket
import struct
import sys
import threading

INIT, LOOKUP, GETATTR, OPEN = 26, 1, 3, 14


def attributes(inode, mode):
    return struct.pack("<6Q10I", inode, 0, 0, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def serve(fuse):
    """Answers what leads to an open file, and nothing after that."""
    while True:
        try:
            request = os.read(fuse, 1 << 20)
        except OSError:
            return
        _, operation, unique, node = struct.unpack("<IIQQ", request[:24])
        answers = {
            INIT: struct.pack("<4I2H2I2H8I", 7, 31, 131072, 0, 12, 10, 131072, 1, 0, 0, *[0] * 8),
            LOOKUP: struct.pack("<4Q2I", 2, 1, 1, 0, 0, 0) + attributes(2, 0o100666),
            OPEN: struct.pack("<QII", 1, 0, 0),
        }
        answer = answers.get(operation)
        if operation == GETATTR and node == 1:
            answer = struct.pack("<QII", 1, 0, 0) + attributes(1, 0o40755)
        if answer is not None:
            os.write(fuse, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)


def open_silent_file(directory):
    libc = ctypes.CDLL(None, use_errno=True)
    fuse = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other".encode()
    if libc.mount(b"fuse", directory.encode(), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), "mount")
    threading.Thread(target=serve, args=(fuse,), daemon=True).start()
    return os.open(directory + "/file", os.O_RDWR)


def open_lingering_socket():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    connection = socket.create_connection(listener.getsockname())
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    connection.setblocking(False)
    try:
        while True:
            connection.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    # The listener stays, and reads nothing.
    globals()["kept"] = listener
    return connection.detach()


kind, path, hello, place, directory = sys.argv[1:]
hostile = open_silent_file(directory) if kind == "fuse" else open_lingering_socket()
pipes = [os.pipe() for _ in range(6)]
descriptors = [pipes[0][0], pipes[1][1], pipes[2][1], pipes[3][1], pipes[4][0], pipes[5][0]]
descriptors[int(place)] = hostile
ttyspyd = socket.socket(socket.AF_UNIX)
ttyspyd.connect(path)
bytes_of_hello = bytes.fromhex(hello)
socket.send_fds(ttyspyd, [bytes_of_hello[:1]], descriptors)
if kind == "linger":
    # Only the last one that closes it waits. This is not the last: ttyspyd has it.
    os.close(hostile)
ttyspyd.sendall(bytes_of_hello[1:])
ttyspyd.settimeout(10)
print(ttyspyd.recv(4096)[4:].decode(), flush=True)
sys.stdin.read()
