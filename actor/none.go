package actor

// None is the input or result of what has none. On the wire it is null.
type None struct{}

// MarshalJSON returns null.
func (None) MarshalJSON() ([]byte, error) { return []byte("null"), nil }

// UnmarshalJSON takes anything: there is nothing to keep.
func (*None) UnmarshalJSON([]byte) error { return nil }
