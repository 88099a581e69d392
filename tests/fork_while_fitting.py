"""Fork children that fit while another thread of the parent fits; print the hashes of all, as JSON.

Run as a script with a time limit: where a lock is inherited, or OpenBLAS's threads are at work,
children or the parent hang.
"""

import json
import multiprocessing
import threading

from fit_everywhere import fit


def child(queue):
    queue.put(fit())


if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    found, stop = [fit()], threading.Event()

    def fit_on():
        while not stop.is_set():
            found.append(fit())

    thread = threading.Thread(target=fit_on)
    thread.start()
    for _ in range(5):
        queue = context.SimpleQueue()
        process = context.Process(target=child, args=[queue])
        process.start()
        process.join(30)
        found.append(queue.get() if process.exitcode == 0 else [f"exit code {process.exitcode}"])
        process.kill()
    stop.set()
    thread.join()
    print(json.dumps(found))
