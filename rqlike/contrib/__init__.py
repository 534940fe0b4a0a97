"""For use with other programs; each module needs the one it is named for, which is installed apart."""
