"""What door 2 is made of; nothing here is imported before a pytest session asks for the gate."""
