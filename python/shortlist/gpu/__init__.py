"""GPUs: a plugin that is looked for when a GPU is asked for, and never before."""

from .plugin import Device, devices, engine, get_num_gpus, plugin, plugin_path

__all__ = ["Device", "devices", "engine", "get_num_gpus", "plugin", "plugin_path"]
