//! The reference binary: one composition of the engine, its stores and its HTTP face.
