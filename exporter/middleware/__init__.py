"""What a service adds, in two lines, so that its requests can be measured: aiohttp, ASGI and WSGI.

Runs inside the measured service: imports prometheus-client and the framework, nothing else, and never fails a request.
"""
