"""Questions to the city, one short file each; ``veche run NAME`` asks one."""
