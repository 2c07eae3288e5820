"""The command line: `backout …`, for a tired person in a terminal. An HTTP client of the service; what runs in-process goes through `service.wiring`.

HTTP commands import nothing else of the service, so that they start fast and cannot act behind its back.
"""
