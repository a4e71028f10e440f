package schema

import "github.com/invopop/jsonschema"

// complete returns s, the schema of n with all struct tags applied, with null added where Go takes it.
func complete(s *jsonschema.Schema, n *node) *jsonschema.Schema {
	switch n.shape {
	case list:
		if s.Items != nil {
			s.Items = complete(s.Items, n.elem)
		}
	case dict:
		if s.AdditionalProperties != nil {
			s.AdditionalProperties = complete(s.AdditionalProperties, n.elem)
		}
	default:
	}
	n.unchecked = !asserts(s)
	switch {
	case !n.nullable || n.unchecked || s.Type == "null":
		return s
	case s.Type == "" || s.Const != nil || s.AllOf != nil || s.AnyOf != nil || s.OneOf != nil || s.Not != nil || s.If != nil:
		n.wrapped = true
		outer := &jsonschema.Schema{
			Title: s.Title, Description: s.Description, Default: s.Default,
			AnyOf: []*jsonschema.Schema{s, {Type: "null"}},
		}
		s.Title, s.Description, s.Default = "", "", nil
		return outer
	}
	// Schema.Type holds one name only; Extras are written beside it.
	if s.Extras == nil {
		s.Extras = map[string]any{}
	}
	s.Extras["type"] = []string{s.Type, "null"}
	s.Type = ""
	if s.Enum != nil {
		s.Enum = append(s.Enum, nil)
	}
	return s
}

// asserts reports whether s refuses anything.
func asserts(s *jsonschema.Schema) bool {
	bare := *s
	bare.Title, bare.Description, bare.Comments, bare.Default, bare.Examples = "", "", "", nil, nil
	bare.Deprecated, bare.ReadOnly, bare.WriteOnly = false, false, false
	b, err := bare.MarshalJSON()
	return err != nil || string(b) != "true"
}
