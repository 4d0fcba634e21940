package objstore

// Fail exposes the classification of errors of the file system.
func (d *Dir) Fail(op, key string, err error) error { return d.fail(op, key, err) }

// StaleTemp is the age after which temporary files are removed.
const StaleTemp = staleTemp
