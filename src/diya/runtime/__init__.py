"""What runs programs: buffers, and a back end for each kind of device."""
