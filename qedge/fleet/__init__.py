"""A bundle onto many devices by Ansible: ``qedge fleet``. Needs ``qedge[fleet]``."""
