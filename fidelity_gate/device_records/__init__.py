"""Profiles of devices that were saved, and what makes one evidence: whose file, which device, when, and untouched.

* saved: one profile, with everything that binds it.
* sealing: the file format; every record carries its own digest.
* published: tables of figures that somebody published; they are of no file that anybody can hash.
* opening: whichever of these a file is.
"""
