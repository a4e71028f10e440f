package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// member is a member of a JSON object, in the order of the text.
type member struct {
	name  string
	value json.RawMessage
}

// members reads a JSON object.
func members(text json.RawMessage) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("%.40s is not a JSON object", text)
	}
	var out []member
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("read JSON object: %w", err)
		}
		m := member{name: fmt.Sprint(name)}
		if err := dec.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("read member %s: %w", m.name, err)
		}
		out = append(out, m)
	}
	return out, nil
}

// outline writes a JSON object for people: a member a line, aligned, lists indented below their name.
func outline(text json.RawMessage) (string, error) {
	all, err := members(text)
	if err != nil {
		return "", err
	}
	width := 0
	for _, m := range all {
		width = max(width, len(m.name))
	}
	var b strings.Builder
	for _, m := range all {
		if list, ok := elements(m.value); ok && len(list) > 0 {
			fmt.Fprintf(&b, "%s\n", m.name)
			for _, e := range list {
				fmt.Fprintf(&b, "  %s\n", inline(e))
			}
			continue
		}
		fmt.Fprintf(&b, "%-*s  %s\n", width, m.name, inline(m.value))
	}
	return b.String(), nil
}

func elements(text json.RawMessage) (list []json.RawMessage, ok bool) {
	return list, json.Unmarshal(text, &list) == nil && list != nil
}

// inline writes a value on one line: text bare where it stays on it, an object as name=value, what is empty as "-".
func inline(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil && s != "" {
		return visible(s)
	}
	if all, err := members(text); err == nil && len(all) > 0 {
		parts := make([]string, len(all))
		for i, m := range all {
			parts[i] = m.name + "=" + compact(m.value)
		}
		return strings.Join(parts, "  ")
	}
	switch c := compact(text); c {
	case "[]", "{}", "null", `""`:
		return "-"
	default:
		return c
	}
}

// compact writes a value as JSON without spaces, plain words without quotes.
func compact(text json.RawMessage) string {
	var s string
	if json.Unmarshal(text, &s) == nil && s != "" && !strings.ContainsAny(s, " \t\r\n\"=") {
		return s
	}
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return string(text)
	}
	return b.String()
}
