"""What the machine and the system give: files, processes, memory, optional packages."""
