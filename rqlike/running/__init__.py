"""Running one call in this process. Knows no server and no worker."""
