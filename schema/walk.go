package schema

import (
	"encoding/json"
	"maps"
	"slices"
)

// walk follows one payload. path leads from its root to the value at hand.
type walk struct {
	out  []byte
	path []step
}

// step is a key, or else an index.
type step struct {
	key   string
	index int
	inArr bool
}

// value validates v and writes it.
func (w *walk) value(n *node, v any) error {
	if v == nil && n.nullable {
		w.out = append(w.out, "null"...)
		return nil
	}
	if n.shape == ref {
		return w.value(n.target, v)
	}
	if err := w.check(n, v); err != nil {
		return err
	}
	switch n.shape {
	case none:
		return w.none(v)
	case object:
		if m, ok := v.(map[string]any); ok {
			return w.object(n, m)
		}
	case list:
		if a, ok := v.([]any); ok {
			return w.list(n, a)
		}
	case dict:
		if m, ok := v.(map[string]any); ok {
			return w.dict(n, m)
		}
	default:
	}
	w.out = appendValue(w.out, v)
	return nil
}

func (w *walk) none(v any) error {
	if m, ok := v.(map[string]any); v != nil && (!ok || len(m) > 0) {
		return w.problem("takes no payload; send null or nothing")
	}
	w.out = append(w.out, "null"...)
	return nil
}

func (w *walk) object(n *node, m map[string]any) error {
	w.out = append(w.out, '{')
	first := true
	for _, f := range n.fields {
		v, ok := m[f.name]
		filled := f.hasDefault && (!ok || v == nil && f.node.nullable)
		if !ok && !filled {
			continue
		}
		if !first {
			w.out = append(w.out, ',')
		}
		first = false
		w.out = append(w.out, f.label...)
		if filled {
			if f.def == nil { // only while the schema is made
				if err := f.resolve(); err != nil {
					return err
				}
			}
			w.out = append(w.out, f.def...)
			continue
		}
		if err := w.part(f.node, v, step{key: f.name}); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

func (w *walk) list(n *node, a []any) error {
	w.out = append(w.out, '[')
	for i, v := range a {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if err := w.part(n.elem, v, step{index: i, inArr: true}); err != nil {
			return err
		}
	}
	w.out = append(w.out, ']')
	return nil
}

func (w *walk) dict(n *node, m map[string]any) error {
	w.out = append(w.out, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			w.out = append(w.out, ',')
		}
		if n.keys != nil {
			if err := n.keys.Validate(key); err != nil {
				w.path = append(w.path, step{key: key})
				return w.problem("its key must be an integer, without sign or leading zeros")
			}
		}
		w.out = append(appendString(w.out, key), ':')
		if err := w.part(n.elem, m[key], step{key: key}); err != nil {
			return err
		}
	}
	w.out = append(w.out, '}')
	return nil
}

// part walks into a part of the value at hand. After an error, path leads to where it occurred.
func (w *walk) part(n *node, v any, at step) error {
	w.path = append(w.path, at)
	if err := w.value(n, v); err != nil {
		return err
	}
	w.path = w.path[:len(w.path)-1]
	return nil
}

// check validates v itself, and its parts where nothing else does.
func (w *walk) check(n *node, v any) error {
	if n.local == nil {
		return nil
	}
	if num, ok := v.(json.Number); ok && oversize(num) || n.deep && containsOversize(v) {
		return w.problem("number too large; use at most 1,000 digits and an exponent within ±1,000")
	}
	if err := n.local.Validate(v); err != nil {
		return w.invalid(err)
	}
	return nil
}

// containsOversize reports whether a number in v is oversize.
func containsOversize(v any) bool {
	switch v := v.(type) {
	case json.Number:
		return oversize(v)
	case []any:
		return slices.ContainsFunc(v, containsOversize)
	case map[string]any:
		for _, part := range v {
			if containsOversize(part) {
				return true
			}
		}
	}
	return false
}
