package process

// tracksDescendants is whether descendants are found in any process group or session, as needed to
// control a daemon.
const tracksDescendants = true
