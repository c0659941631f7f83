"""Compare the run times of our attacks with those of other libraries, and with the time of the
network alone. The modules are run from the root folder of the project.
"""
