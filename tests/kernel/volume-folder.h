/* A tmpfs in a mount namespace of the test's own, for the kubelet's root directory and what volumes
 * are made of; it goes with the test. */
#pragma once

/* An empty one, instead of the one before; skips the whole program where that may not be. */
void volume_folder_enter(const char *test_name);
const char *volume_folder(void);
/* Below it; good for four more calls. */
const char *path_of(const char *name);
