package kraft

// ValidTopicName says whether a topic may bear the name: 1 to 249 characters of a-z, A-Z, 0-9, '.', '_' and '-', and neither "." nor "..".
func ValidTopicName(name string) bool { return checkTopicName(name).code == 0 }
