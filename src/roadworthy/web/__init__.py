"""The control plane: every figure and every act of the project, as JSON."""
