"""Compare our run times with other libraries and with the time of the network alone; run these
modules from the root folder of the project.
"""
