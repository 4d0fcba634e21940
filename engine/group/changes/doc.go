// Package changes notes which records of a group are not what memory says, for groups whose memory changes first: the records of a change
// are made when they are written, so that those of a write that failed are made up for by the next one.
package changes
