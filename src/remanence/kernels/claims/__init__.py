"""From words to claims and back: an ontology of what people say of themselves, an extractor, a reader of questions."""
