"""Delivery systems: each lists its targets, answers facts about them and acts on them. One folder or file per system."""
