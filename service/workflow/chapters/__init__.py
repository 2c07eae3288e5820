"""What the stories of all kinds of operation share, a chapter a file: judging and deciding, acting step by step, verifying, taking back.

A chapter knows the plan and its row; what differs between the kinds is told by the story itself, which is a `Tale`.
"""
