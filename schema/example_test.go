package schema_test

import (
	"fmt"
	"reflect"

	"github.com/perdure/perdure/schema"
)

func ExampleReflector_For() {
	type Action struct {
		Type   string `json:"type" jsonschema:"enum=increment,enum=decrement,enum=get"`
		Amount int    `json:"amount,omitzero" jsonschema:"default=1"`
	}
	action, err := schema.New().For(reflect.TypeFor[Action]())
	if err != nil {
		fmt.Println(err)
		return
	}
	payload, err := action.Normalize([]byte(`{"type": "increment", "color": "red"}`))
	fmt.Println(string(payload), err)
	_, err = action.Normalize([]byte(`{"type": "increment", "amount": "two"}`))
	fmt.Println(err)
	// Output:
	// {"type":"increment","amount":1} <nil>
	// payload field /amount: must be integer, not string (400, runtime)
}
