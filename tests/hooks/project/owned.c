/* libowned.so: what makes the project's own lib folder an entry that no tool drops. */
int owned(void) { return 0; }
