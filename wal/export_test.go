package wal

// SetPreparation changes how many bytes one step of the preparation fills, and how many are filled before the log is ready.
func SetPreparation(o *Options, step, ahead int64) { o.prepareStep, o.prepareFirst = step, ahead }
