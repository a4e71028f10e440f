// Package session kills real node processes while an agent answers, and checks what its readers, its history and the
// model's server have of it.
package session
