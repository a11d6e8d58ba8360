"""Threads call the same modules, and draw the same random numbers' stream, while another one captures."""

import threading

import diya as torch
from diya import nn


def test_threads_that_draw():
    failures = []
    for _ in range(3):
        net = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Tanh(), nn.Linear(4, 3))

        def work(i, net=net):
            try:
                for _ in range(10):
                    y = net(torch.full((2 + i % 3, 3), float(i)))
                    y.sum().backward()
                    y.tolist()
                    torch.rand(3)
            except BaseException as error:
                failures.append(error)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    assert not failures
